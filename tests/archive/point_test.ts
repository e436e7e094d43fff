import { expect, test } from "bun:test";
import { parsePoint } from "../../lib/archive/point.ts";

test("a point is an index, a time with its zone, or the end", () => {
  expect(parsePoint("latest")).toEqual({ type: "latest" });
  expect(parsePoint("123")).toEqual({ type: "index", index: 123 });
  const timeMs = Date.UTC(2026, 2, 1, 12, 30, 5, 250);
  for (
    const text of [
      "2026-03-01T12:30:05.25Z",
      "2026-03-01 12:30:05.250Z",
      "2026-03-01T14:30:05.25+02:00",
      "2026-03-01T07:00:05.25-0530",
    ]
  ) {
    expect(parsePoint(text)).toEqual({ type: "time", timeMs });
  }
  expect(parsePoint("2026-03-01T12:30Z")).toEqual({ type: "time", timeMs: timeMs - 5_250 });
});

test("what could be meant in two ways is no point", () => {
  const texts = [
    "",
    "now",
    "-1",
    "1.5",
    "2026-03-01",
    "2026-03-01T12:30:05",
    "2026-13-01T12:30:05Z",
    "12:30Z",
    "9".repeat(16),
  ];
  for (const text of texts) expect(parsePoint(text)).toBeUndefined();
});
