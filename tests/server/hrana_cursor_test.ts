import { expect, test } from "bun:test";
import { HranaCursor } from "../../lib/server/hrana_cursor.ts";
import { encodeOk, jsonText } from "../../lib/wire/hrana/encode.ts";
import type { Json } from "../../lib/wire/hrana/types.ts";

/** A connection that takes answers for as long as a test lets it. */
class Host {
  flows = true;
  /** What was answered: the id of the request, and the entries or the code of the error. */
  answers: [number, unknown][] = [];
  readonly isFlowing = () => this.flows;
  readonly answer = (message: Json) => {
    const { request_id, response, error } = JSON.parse(jsonText(message));
    this.answers.push([request_id, response?.entries.length ?? error.code]);
  };
}

/** The result of a batch of one step with three rows: five entries. */
const RESULT = encodeOk({
  type: "batch",
  steps: [{
    type: "ok",
    result: {
      colsJson: "[]",
      rowsJson: "[[],[],[]]",
      affectedRowCount: 0,
      lastInsertRowid: undefined,
    },
  }],
});

test("what is asked for early is answered once there is something to read", () => {
  const host = new Host();
  const cursor = new HranaCursor(1, host);
  cursor.fetch(1, 2);
  cursor.fetch(2, 2);
  expect(host.answers).toEqual([]);
  cursor.settle(RESULT);
  cursor.fetch(3, 2);
  cursor.fetch(4, 2);
  expect(host.answers).toEqual([[1, 2], [2, 2], [3, 1], [4, 0]]);
});

test("a client that takes nothing is given nothing more until it does", () => {
  const host = new Host();
  const cursor = new HranaCursor(1, host);
  cursor.settle(RESULT);
  host.flows = false;
  for (const id of [1, 2, 3]) cursor.fetch(id, 1);
  expect(host.answers).toEqual([]);
  host.flows = true;
  cursor.answer();
  expect(host.answers).toEqual([[1, 1], [2, 1], [3, 1]]);
});

test("what waits on a cursor that fails, or is closed, is refused", () => {
  for (const end of ["fails", "is closed"]) {
    const host = new Host();
    const cursor = new HranaCursor(1, host);
    cursor.fetch(1, 1);
    if (end === "fails") cursor.settle(undefined);
    else cursor.close();
    cursor.settle(RESULT);
    cursor.fetch(2, 1);
    expect(host.answers).toEqual([[1, "PROTOCOL"], [2, "PROTOCOL"]]);
  }
});

test("a result that is none is refused where it breaks", () => {
  const host = new Host();
  const garbage = new HranaCursor(1, host);
  garbage.settle("garbage");
  garbage.fetch(1, 1);
  expect(host.answers).toEqual([[1, "PROTOCOL"]]);
  const broken = new HranaCursor(1, host);
  broken.settle(jsonText(RESULT).replace("[],[],[]", "[],[[,[]"));
  broken.fetch(2, 2);
  broken.fetch(3, 9);
  expect(host.answers.slice(1)).toEqual([[2, 2], [3, "PROTOCOL"]]);
});
