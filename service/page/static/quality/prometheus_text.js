/** The text of `GET /metrics`: samples by the name of their series, and what can be worked out of two such texts. */

/** A map from a name to its samples, `{labels, value}` each. */
export function parseText(text) {
  const series = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue; // a comment, or the end
    const [, name, labels = "", value] = found;
    if (!series.has(name)) series.set(name, []);
    series.get(name).push({ labels: parseLabels(labels), value: parseValue(value) });
  }
  return series;
}

function parseLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => (escaped === "n" ? "\n" : escaped));
  }
  return labels;
}

const parseValue = (text) => ({ "+Inf": Infinity, "-Inf": -Infinity, NaN })[text] ?? Number(text);

const hasLabels = (where) => (labels) => Object.entries(where).every(([label, value]) => labels[label] === value);

/** The sum of the samples whose labels are those of `where`; `where` may be a function of the labels. */
export function total(series, name, where = {}) {
  const passes = typeof where === "function" ? where : hasLabels(where);
  return (series.get(name) ?? []).reduce((sum, { labels, value }) => (passes(labels) ? sum + value : sum), 0);
}

/** By how much a counter grew. */
export const growth = (before, now, name, where) => total(now, name, where) - total(before, name, where);

/**
 * A quantile of what a histogram took in between two texts, within a bucket along a straight line; null if it took in
 * nothing. What lies beyond the last bound is said to be that bound.
 */
export function quantile(before, now, share, name, where) {
  const buckets = `${name}_bucket`;
  const passes = hasLabels(where);
  const upper = (now.get(buckets) ?? []).map(({ labels }) => parseValue(labels.le));
  const bounds = [...new Set(upper)].sort((a, b) => a - b);
  const counts = bounds.map((bound) =>
    growth(before, now, buckets, (labels) => parseValue(labels.le) === bound && passes(labels)),
  );
  const all = counts.at(-1) ?? 0;
  if (all <= 0) return null;
  const wanted = share * all;
  const at = counts.findIndex((count) => count >= wanted);
  const [low, below] = at > 0 ? [bounds[at - 1], counts[at - 1]] : [0, 0];
  if (bounds[at] === Infinity) return low;
  const inBucket = counts[at] - below;
  return inBucket > 0 ? low + ((bounds[at] - low) * (wanted - below)) / inBucket : bounds[at];
}
