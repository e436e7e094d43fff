/**
 * The entry of the executable: carries the SQLite library as a file, makes it known, then starts
 * the command line.
 */
// @ts-ignore: the bundler turns this into the path of a file inside the executable
import library from "../build/libsqlite3.so" with { type: "file" };
import { registerEmbeddedLibrary } from "./open.ts";

registerEmbeddedLibrary(library);
await import("../cli.ts");
