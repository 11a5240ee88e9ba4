/**
 * A job as it goes on. Its changes come as server-sent events, read by `fetch` because an `EventSource` cannot send the
 * key. When they break off, as at a restart of the service, the job is read once and then followed again.
 */
import { useEffect, useState } from "preact/hooks";
import { call, send } from "./client.js";
import { key } from "./key.js";

const RETRY_MS = 1_500;

export const hasEnded = (job) => ["done", "failed", "cancelled"].includes(job.state);

/** The server-sent events in a stream of bytes: `{id, event, data}` each. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text = (text + value).replace(/\r\n/g, "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event.data !== undefined) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue; // a comment keeps the connection open
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    fields[name] = name === "data" && fields.data !== undefined ? `${fields.data}\n${value}` : value;
  }
  return fields;
}

/**
 * Calls `onJob` with the job at once and after each change, until it has ended or `signal` is aborted.
 *
 * @throws Problem if the job cannot be had at all: there is none, or the key may not.
 */
export async function followJob(id, { onJob, onBroken = () => {}, signal }) {
  const path = `jobs/${encodeURIComponent(id)}`;
  let lastEventId = null;
  let isBroken = false;
  for (;;) {
    try {
      if (isBroken) {
        await pause(RETRY_MS, signal);
        const job = await call(path, { signal });
        onJob(job);
        if (hasEnded(job)) return;
      }
      const headers = lastEventId === null ? {} : { "Last-Event-ID": lastEventId };
      const response = await send(`${path}/events`, { headers, signal });
      if (response.status === 204) return;
      for await (const event of readEvents(response.body)) {
        lastEventId = event.id ?? lastEventId;
        const job = JSON.parse(event.data);
        onJob(job);
        if (hasEnded(job)) return;
      }
    } catch (problem) {
      if (signal?.aborted) return;
      if (isFinal(problem)) throw problem;
      onBroken(problem);
    }
    isBroken = true;
  }
}

/** Whether asking again is of no use. Without an answer, or with a failure of the service, it is. */
const isFinal = (problem) => problem.status >= 400 && problem.status < 500 && problem.status !== 429;

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/**
 * The job `id` live; nothing while `id` is null.
 *
 * @returns `{job, problem, broken, setJob}`; `broken` is true while its changes do not come.
 */
export function useJob(id) {
  const [state, setState] = useState({ job: null, problem: null, broken: false });
  const [usedKey, setUsedKey] = useState(key.value);
  useEffect(() => key.listen(setUsedKey), []);
  useEffect(() => {
    setState({ job: null, problem: null, broken: false });
    if (!id) return;
    const abort = new AbortController();
    followJob(id, {
      signal: abort.signal,
      onJob: (job) => !abort.signal.aborted && setState({ job, problem: null, broken: false }),
      onBroken: () => setState((before) => ({ ...before, broken: true })),
    }).catch((problem) => !abort.signal.aborted && setState((before) => ({ ...before, problem })));
    return () => abort.abort();
  }, [id, usedKey]);
  // The answer to a cancel may come after the event that says that the job has ended.
  const setJob = (job) => setState((before) => (before.job && hasEnded(before.job) ? before : { ...before, job }));
  return { ...state, setJob };
}
