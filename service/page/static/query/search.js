/** The query under way and the last answer. A new query ends the one before it, whose answer then never shows. */
import { call } from "../api/client.js";
import { connection } from "../api/connection.js";
import { key } from "../api/key.js";
import { Store } from "../store.js";
import { boxText } from "./box_geometry.js";
import { fieldsOf, parameters, sameParameters } from "./parameters.js";
import { boxes, image, isLarge, selectedKey } from "./subject.js";

const NOTHING = { asked: null, running: false, problem: null, result: null };

/**
 * `asked`: the last query, `{record, image, boxes, parameters}`; `running`: whether it is under way; `problem`: why it
 * failed; `result`: the last answer, `{asked, answers, timing, warnings}`, where each of `answers` is what the service
 * says of one vehicle, with the `subject` that it is about, or its `error`.
 */
export const search = new Store(NOTHING);
/** Which of the answers to several boxes is shown. */
export const shownAnswer = new Store(0);

let underWay = null;

export async function startSearch() {
  const record = parameters.value.record;
  const asked = record
    ? { record, image: null, boxes: [], parameters: parameters.value }
    : { record: null, image: image.value, boxes: boxes.value, parameters: parameters.value };
  if (!asked.record && !asked.image) return;
  underWay?.abort();
  const abort = (underWay = new AbortController());
  search.set({ asked, running: true, problem: null, result: search.value.result });
  try {
    const answer = await call("query", { method: "POST", form: formOf(asked), signal: abort.signal });
    if (abort.signal.aborted) return;
    search.set({ asked, running: false, problem: null, result: resultOf(answer, asked) });
    isLarge.set(false);
    showAnswer(0);
  } catch (problem) {
    if (!abort.signal.aborted) search.set({ asked, running: false, problem, result: null });
  }
}

/** Shows one of the answers, and selects its box. */
export function showAnswer(index) {
  shownAnswer.set(index);
  const { box } = search.value.result.answers[index].subject;
  if (box) selectedKey.set(box.key);
}

/** Selects a box, and shows its answer if it has one. */
export function showBox(key) {
  selectedKey.set(key);
  const index = (search.value.result?.answers ?? []).findIndex((answer) => answer.subject.box?.key === key);
  if (index >= 0) shownAnswer.set(index);
}

/** Ends the query under way and forgets the answer. */
export function clearSearch() {
  underWay?.abort();
  search.set(NOTHING);
}

/** Whether a query asked for what would be asked for now. */
export function isCurrent(asked) {
  if (!sameParameters(asked.parameters, parameters.value)) return false;
  const texts = (list) => list.map(boxText).join(" ");
  return asked.record !== null || (asked.image === image.value && texts(asked.boxes) === texts(boxes.value));
}

/** Changes what the answers say of a record, after it was edited. */
export function changeMatches(id, fields) {
  const { result } = search.value;
  if (!result) return;
  const changed = (match) => (match.id === id ? { ...match, ...fields } : match);
  const answers = result.answers.map((one) => (one.error ? one : { ...one, matches: one.matches.map(changed) }));
  search.set({ ...search.value, result: { ...result, answers } });
}

function formOf(asked) {
  const form = new FormData();
  if (asked.image) form.append("image", asked.image.file, asked.image.name);
  for (const box of asked.boxes) form.append("box", boxText(box));
  for (const [name, values] of Object.entries(fieldsOf(asked.parameters))) {
    for (const value of [values].flat()) if (value !== null) form.append(name, value);
  }
  return form;
}

/** One vehicle or several: a list of answers, each with the `subject` that it is about. */
function resultOf(answer, asked) {
  const subjectOf = (box) => ({ record: asked.record, image: asked.image, box });
  const answers = answer.answers
    ? answer.answers.map((one, index) => ({ ...one, subject: subjectOf(asked.boxes[index]) }))
    : [{ ...answer, subject: subjectOf(asked.boxes[0] ?? null) }];
  return { asked, answers, timing: answer.timing_ms, warnings: answer.warnings };
}

// What failed for want of the service or of a key is asked again once they are there.
connection.listen((now) => now === "ready" && search.value.problem?.kind === "offline" && startSearch());
key.listen(() => [401, 403].includes(search.value.problem?.status) && startSearch());
