/**
 * Enrolling many files: requests of a few files, one after another. It belongs to no component, so that it goes on
 * while other views are shown; what was settled stays settled whatever happens to a later request.
 */
import { call } from "../api/client.js";
import { connection } from "../api/connection.js";
import { key } from "../api/key.js";
import { Store } from "../store.js";
import { galleryChanged } from "./changes.js";
import { EMPTY_DRAFT } from "./field_values.js";

const MOST_FILES = 16;
const MOST_BYTES = 64e6;
const NOTHING = { files: [], draft: EMPTY_DRAFT };

/**
 * The enrolment that runs or was the last, or null: `{state, files, done, isRepeated, results, problem}`. `state` is
 * `running`, `waiting` (the service does not answer), `stopped` (`problem` says why; `resume` goes on), `cancelled` or
 * `done`; `isRepeated`: the next files were sent before, and nobody knows what came of it; `results` has one entry per
 * vehicle: `{filename, status, id, detail, warnings}`.
 */
export const enrolment = new Store(null);

let abort = null;

/** What has been entered: `{files, draft}`. It stays while the form is closed, and until an enrolment is over. */
export const entered = new Store(NOTHING);

/** Starts with `files` (`File` objects); `fields` hold for all of them. */
export function startEnrolment(files, fields) {
  enrolment.set({ state: "running", files, fields, done: 0, isRepeated: false, results: [], problem: null });
  run();
}

/** Goes on after the files that are done. */
export function resumeEnrolment() {
  change({ state: "running", problem: null });
  run();
}

export function cancelEnrolment() {
  change({ state: "cancelled" });
  abort?.abort();
}

/** Back to the form, with all that was entered. */
export const reviseEnrolment = () => enrolment.set(null);

/** It is over: the form is empty again. */
export function forgetEnrolment() {
  enrolment.set(null);
  entered.set(NOTHING);
}

export const isUnderWay = (now) => now !== null && ["running", "waiting", "stopped"].includes(now.state);

/** The next files of a request: at most `MOST_FILES` and `MOST_BYTES`, but at least one. */
export function nextBatch(files, start, mostFiles = MOST_FILES) {
  let bytes = 0;
  let end = start;
  while (end < files.length && end - start < mostFiles) {
    bytes += files[end].size;
    if (bytes > MOST_BYTES && end > start) break;
    end++;
  }
  return files.slice(start, end);
}

const change = (changes) => enrolment.set({ ...enrolment.value, ...changes });

async function run() {
  abort = new AbortController();
  let mostFiles = MOST_FILES;
  while (enrolment.value.state === "running" && enrolment.value.done < enrolment.value.files.length) {
    const { files, fields, done, isRepeated } = enrolment.value;
    const batch = nextBatch(files, done, mostFiles);
    try {
      const results = await enrol(batch, fields, abort.signal);
      settle(batch, isRepeated ? results.map(noteRepetition) : results);
      mostFiles = MOST_FILES;
    } catch (problem) {
      if (abort.signal.aborted) break;
      // Without an answer of the service itself, as through a proxy that gave up, it may have been done.
      if (problem.kind === "offline" || problem.status >= 500) change({ isRepeated: true });
      if (problem.kind === "body-too-large" && batch.length > 1) mostFiles = Math.ceil(batch.length / 2);
      else if (problem.kind === "body-too-large") settle(batch, [rejected(batch[0], problem.detail)]);
      else if (isTemporary(problem)) {
        change({ state: "waiting" });
        await untilReady(problem.retryAfterS ?? 0, abort.signal);
        if (enrolment.value.state === "waiting") change({ state: "running" });
      } else change({ state: "stopped", problem });
    }
  }
  if (enrolment.value.state === "running") change({ state: "done" });
}

/** The results of one request; of one in which every vehicle was rejected as well. */
async function enrol(batch, fields, signal) {
  const readable = [];
  const results = [];
  for (const file of batch) {
    // A file that was moved or changed meanwhile fails like a service that does not answer, so it is tried first.
    const isReadable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    if (isReadable) readable.push(file);
    else results.push(rejected(file, "this browser cannot read the file: it was moved or changed"));
  }
  if (!readable.length) return results;
  const form = new FormData();
  for (const file of readable) form.append("images", file, file.name);
  if (Object.keys(fields).length) form.append("metadata", JSON.stringify(readable.map(() => fields)));
  try {
    const answer = await call("gallery", { method: "POST", form, signal });
    return [...results, ...answer.results];
  } catch (problem) {
    if (problem.kind !== "every-vehicle-rejected") throw problem;
    return [...results, ...problem.answer.results];
  }
}

function settle(batch, results) {
  const { done, results: earlier } = enrolment.value;
  change({ done: done + batch.length, isRepeated: false, results: [...earlier, ...results] });
  galleryChanged();
}

const rejected = (file, detail) => ({ filename: file.name, status: "rejected", id: null, detail, warnings: [] });

/** Whether it was the request before that enrolled this file is not known, but it is there. */
function noteRepetition(result) {
  if (result.status !== "duplicate") return result;
  return { ...result, detail: `${result.detail}; perhaps by the request before, whose answer did not come` };
}

const isTemporary = ({ kind, status }) =>
  kind === "offline" || status === 429 || status === 503 || status === 502 || status === 504;

/** Until the service says that it is ready, and for `seconds` at least: a request may be of 64 MB. */
function untilReady(seconds, signal) {
  const earliest = Date.now() + 1000 * seconds;
  return new Promise((resolve) => {
    const stop = [];
    const finish = () => {
      for (const one of stop) one();
      resolve();
    };
    const timer = setInterval(() => Date.now() >= earliest && connection.value === "ready" && finish(), 1_500);
    stop.push(() => clearInterval(timer));
    signal.addEventListener("abort", finish, { once: true });
  });
}

// Files that the browser has not sent yet are lost when the page is left.
addEventListener("beforeunload", (event) => isUnderWay(enrolment.value) && event.preventDefault());

// With a key that may, it goes on by itself.
key.listen(() => {
  if (enrolment.value?.state === "stopped" && enrolment.value.problem.status === 401) resumeEnrolment();
});
