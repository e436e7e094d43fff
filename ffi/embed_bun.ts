/**
 * The entry of the executable: carries the SQLite library and the demo's data set as files, makes
 * them known, then starts the command line.
 */
// @ts-ignore: the bundler turns this into the path of a file inside the executable
import library from "../build/libsqlite3.so" with { type: "file" };
// @ts-ignore: the same
import places from "../build/cities.bin" with { type: "file" };
import { registerAsset } from "../lib/io/assets.ts";
import { registerEmbeddedLibrary } from "./open.ts";

registerEmbeddedLibrary(library);
registerAsset("cities.bin", places);
await import("../cli.ts");
