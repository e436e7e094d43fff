/**
 * Packs the demo's data set for the executable. Run while building:
 * `bun lib/demo/pack_cities.ts build/cities.bin`.
 */
import { program } from "../io/program.ts";
import { writeFile } from "../io/assets.ts";
import { loadPlaces } from "./dataset.ts";

const [path] = program.args;
if (path === undefined) {
  program.stderr("Usage: pack_cities.ts FILE\n");
  program.exit(2);
}
const places = loadPlaces();
const packed = places.pack();
writeFile(path, packed);
program.stdout(`${path}: ${places.count} places in ${packed.length} bytes\n`);
