/** The last minutes of `GET /metrics`, read again and again while the page is looked at. */
import { useState } from "preact/hooks";
import { send } from "../api/client.js";
import { useEvery } from "../api/every.js";
import { useResource } from "../api/resource.js";
import { growth, parseText, quantile, total } from "./prometheus_text.js";

const EVERY_MS = 5_000;
/** What grows is known only by two snapshots. */
const FIRST_MS = 1_000;
const KEPT = 61;
/** Of so many steps the slow figures are, such as quantiles: one minute. */
const WINDOW = 12;

/** `{history, problem}`: the snapshots, the oldest first, each `{at, series}`. */
export function useLiveMetrics() {
  const [history, setHistory] = useState([]);
  const { problem, reload } = useResource(async (signal) => {
    const response = await send("metrics", { headers: { Accept: "text/plain" }, signal });
    const snapshot = { at: performance.now(), series: parseText(await response.text()) };
    setHistory((before) => [...before.filter((one) => isSameProcess(one, snapshot)), snapshot].slice(-KEPT));
    return snapshot;
  }, []);
  useEvery(history.length < 2 ? FIRST_MS : EVERY_MS, reload);
  return { history, problem };
}

/** Counters begin at 0 again after a restart. */
function isSameProcess(one, other) {
  const name = "process_start_time_seconds";
  return total(one.series, name) === total(other.series, name);
}

/** How fast a counter grew in each step. */
export function rates(history, name, where) {
  return history.slice(1).map((now, index) => perSecond(history[index], now, name, where));
}

/** How fast a counter grew over the last minute; null before there are two snapshots. */
export function rate(history, name, where) {
  const [before, now] = window(history);
  return before && perSecond(before, now, name, where);
}

const perSecond = (before, now, name, where) =>
  growth(before.series, now.series, name, where) / Math.max(0.001, (now.at - before.at) / 1000);

/** `share` of what came in the last minute took at most this long; null if nothing came. */
export function recentQuantile(history, share, name, where) {
  const [before, now] = window(history);
  return before && quantile(before.series, now.series, share, name, where);
}

/** The mean of what a histogram took in over the last minute; null if nothing. */
export function recentMean(history, name, where) {
  const [before, now] = window(history);
  if (!before) return null;
  const number = growth(before.series, now.series, `${name}_count`, where);
  return number > 0 ? growth(before.series, now.series, `${name}_sum`, where) / number : null;
}

function window(history) {
  return history.length < 2 ? [null, null] : [history.at(-1 - Math.min(WINDOW, history.length - 1)), history.at(-1)];
}

export const values = (history, name, where) => history.map(({ series }) => total(series, name, where));
