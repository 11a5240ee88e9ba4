/** Which records are selected: some by their ids, or all that pass the conditions. */
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api/client.js";

// So many ids make an address of 7 kB: proxies commonly take 8 kB.
const MOST_IDS = 200;

const NONE = { ids: new Set(), all: false };

/**
 * @param records those of the page, in their order.
 * @param dependency when it changes, nothing is selected any more: what is not seen should not be deleted by mistake.
 * @returns `{ids, all, toggle(id, {range}), selectPage(), selectAll(), clear(), keepOnly(ids), has(id)}`
 */
export function useSelection(records, dependency) {
  const [selection, setSelection] = useState(NONE);
  const anchor = useRef(null);
  const clear = () => setSelection(NONE);
  useEffect(clear, [dependency]);

  const toggle = (id, { range = false } = {}) => {
    const ids = new Set(selection.all ? records.map((record) => record.id) : selection.ids);
    const isOn = !ids.has(id);
    for (const one of range ? between(records, anchor.current, id) : [id]) isOn ? ids.add(one) : ids.delete(one);
    anchor.current = id;
    setSelection({ ids, all: false });
  };
  return {
    ...selection,
    toggle,
    clear,
    selectPage: () => setSelection({ ids: new Set([...selection.ids, ...records.map(({ id }) => id)]), all: false }),
    selectAll: () => setSelection({ ids: new Set(), all: true }),
    keepOnly: (ids) => setSelection({ ids: new Set(ids), all: false }),
    has: (id) => selection.all || selection.ids.has(id),
  };
}

function between(records, from, to) {
  const ids = records.map(({ id }) => id);
  const ends = [ids.indexOf(from), ids.indexOf(to)];
  if (ends.includes(-1)) return [to];
  return ids.slice(Math.min(...ends), Math.max(...ends) + 1);
}

/**
 * The requests that together mean a selection: `{query, number}` each. Each changes its records at one moment, and
 * nothing if there are not as many of them as were seen.
 */
export function requestsFor({ ids, all }, conditions, total) {
  if (all) return [{ query: { ...conditions, expected: total }, number: total }];
  const listed = [...ids];
  const requests = [];
  for (let start = 0; start < listed.length; start += MOST_IDS) {
    const id = listed.slice(start, start + MOST_IDS);
    requests.push({ query: { id, expected: id.length }, number: id.length });
  }
  return requests;
}

/** The ids among those of `requests` that are in the gallery still. */
export async function idsStillThere(requests) {
  const ids = [];
  for (const { query } of requests) {
    const page = await call("gallery", { query: { id: query.id, limit: query.id.length } });
    ids.push(...page.records.map((record) => record.id));
  }
  return ids;
}
