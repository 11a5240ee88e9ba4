/**
 * How is searched, and for which record: what the address says, so that it can be shared. An image that is searched for
 * has no address, because the service keeps none; its parameters have.
 */
import { conditionsOf } from "../parts/filters.js";
import { href } from "../route.js";
import { Store } from "../store.js";

export const MOST_MATCHES = 1000;

/** `{record, topK, groupBy, rerank, expand, conditions}`, as the address says. */
export const parameters = new Store(parametersOf({}));

/** The parameters in an address; what makes no sense there is as if it were absent. */
export function parametersOf(query) {
  const number = (name, lowest, highest, otherwise) => {
    const value = Number(query[name]?.[0] ?? NaN);
    return Number.isInteger(value) && value >= lowest && value <= highest ? value : otherwise;
  };
  return {
    record: query.record?.[0] ?? null,
    topK: number("top_k", 1, MOST_MATCHES, 10),
    groupBy: query.group_by?.[0] === "identity",
    rerank: query.rerank?.[0] === "k_reciprocal",
    expand: number("expand", 0, 50, 0),
    conditions: conditionsOf(query),
  };
}

/** The same as fields of `POST /query`, without what is its default. */
export function fieldsOf({ record, topK, groupBy, rerank, expand, conditions }) {
  return {
    record,
    top_k: topK === 10 ? null : topK,
    group_by: groupBy ? "identity" : null,
    rerank: rerank ? "k_reciprocal" : null,
    expand: expand || null,
    ...conditions,
  };
}

export const addressOf = (changed) => href("query", fieldsOf(changed));

export const sameParameters = (one, other) => addressOf(one) === addressOf(other);
