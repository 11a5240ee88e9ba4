/** What the user says of matches: right or wrong. Kept for each vehicle searched for, until the page is left. */
import { Store } from "../store.js";
import { boxText } from "./box_geometry.js";

/** From a subject's name to an object from the record's id to `right` or `wrong`. */
export const judgements = new Store({});

const numbers = new WeakMap();
let lastNumber = 0;

/** The same for the same record, or the same box on the same image. */
export function subjectName({ record, image, box }) {
  if (record) return `record ${record}`;
  if (!numbers.has(image)) numbers.set(image, ++lastNumber);
  return `image ${numbers.get(image)} ${box ? boxText(box) : "whole"}`;
}

/** The judgements on the matches of one answer, by the record's id. */
export const judgementsOf = (all, answer) => all[subjectName(answer.subject)] ?? {};

/** Judges a match; the same judgement again takes it back. */
export function judge(answer, id, judgement) {
  const name = subjectName(answer.subject);
  const { [id]: before, ...others } = judgements.value[name] ?? {};
  const changed = before === judgement ? others : { ...others, [id]: judgement };
  judgements.set({ ...judgements.value, [name]: changed });
}
