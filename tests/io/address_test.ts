import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { formatAddress, parseAddress } from "../../lib/io/address.ts";

test.each([
  ["127.0.0.1:9001", "127.0.0.1", 9001],
  ["db1.example.org:1", "db1.example.org", 1],
  ["localhost:0", "localhost", 0],
  ["[::1]:65535", "::1", 65535],
  ["[fe80::1%eth0]:9001", "fe80::1%eth0", 9001],
])("an address round-trips: %s", (text, host, port) => {
  expect(parseAddress(text)).toEqual({ host, port });
  expect(formatAddress({ host, port })).toBe(text);
});

test.each([
  "",
  "9001",
  ":9001",
  "host",
  "host:",
  "host:65536",
  "host:999999",
  "host:-1",
  "host:1x",
  "::1:9001",
  "[::1]",
  "[host]:9001",
  "[]:9001",
  "ho st:9001",
  "http://host:9001",
  `${"a".repeat(300)}:1`,
])("what is no address is refused by its own text: %p", (text) => {
  let thrown: unknown;
  try {
    parseAddress(text);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(DatabaseError);
  const error = thrown as DatabaseError;
  expect(error.code).toBe("CONFIG");
  expect(error.message).toContain(JSON.stringify(text));
  expect(error.hint).toContain("HOST:PORT");
});
