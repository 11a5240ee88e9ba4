/** Where the records that pass the conditions were captured. */
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";

/** The map reads so many records at most. */
export const MOST_READ = 5000;
const PAGE = 1000;

/** `{places, read, total}` as a resource: of the first `MOST_READ` records those that have a place. */
export function usePlaces(conditions, version) {
  return useResource((signal) => readPlaces(conditions, signal), [JSON.stringify(conditions), version]);
}

async function readPlaces(conditions, signal) {
  const places = [];
  let read = 0;
  let page = { next_cursor: null };
  do {
    page = await call("gallery", { query: { ...conditions, limit: PAGE, cursor: page.next_cursor }, signal });
    read += page.records.length;
    places.push(...page.records.filter(({ latitude }) => latitude !== null));
  } while (page.next_cursor && read < MOST_READ);
  return { places, read, total: page.total };
}
