import { expect, test } from "bun:test";
import { loadPlaces, parsePlaces, unpackPlaces } from "../../lib/demo/dataset.ts";

const JSON_TEXT = JSON.stringify([
  { name: "El Tarter", lat: "42.57952", lng: "1.65362", country: "AD", admin1: "02", admin2: "" },
  { name: "Bāsopaṭṭi", lat: "-0.5", lng: "10", country: "IN", admin1: "34", admin2: 'x\\"y' },
]);

test("places survive being packed for the executable", () => {
  const places = parsePlaces(JSON_TEXT);
  const unpacked = unpackPlaces(places.pack());
  expect(unpacked.count).toBe(2);
  expect([unpacked.at(0), unpacked.at(1)]).toEqual([places.at(0), places.at(1)]);
  expect(unpacked.at(1)).toEqual({
    name: "Bāsopaṭṭi",
    country: "IN",
    admin1: "34",
    admin2: 'x\\"y',
    lat: -0.5,
    lng: 10,
  });
  expect(unpacked.at(3)).toEqual(unpacked.at(1));
});

test("the data set of the checkout is there and whole", () => {
  const places = loadPlaces();
  expect(places.count).toBeGreaterThan(140_000);
  for (let i = 0; i < places.count; i += 997) {
    const { name, lat, lng } = places.at(i);
    expect(name).not.toBe("");
    expect(Math.abs(lat)).toBeLessThanOrEqual(90);
    expect(Math.abs(lng)).toBeLessThanOrEqual(180);
  }
});
