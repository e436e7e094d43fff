/** What `s3_server.ts` starts: writes the port to stdout, and runs until it is killed. */
import process from "node:process";
import { startFauxqs } from "fauxqs";

const server = await startFauxqs({ port: Number(process.argv[2]), logger: false });
for (const bucket of ["archive", "other"]) server.createBucket(bucket);
process.stdout.write(`${server.port}\n`);
