/** What is typed into the form of a job, and the parameters that it means. */
import { fromDraft, isEmpty, toDraft } from "../parts/filters.js";
import { KINDS } from "./kinds.js";

const INITIAL = {
  text: () => "",
  number: () => "",
  check: () => false,
  choice: ({ choices }) => Object.keys(choices)[0],
  conditions: () => toDraft({}),
};

export function draftOf(kind) {
  const initial = (field) => field.initial ?? INITIAL[field.type](field);
  return Object.fromEntries(KINDS[kind].fields.map((field) => [field.name, initial(field)]));
}

export const fieldsOf = (kind, draft) => KINDS[kind].fields.filter(({ when }) => !when || when(draft));

/** The body of `POST /jobs`; what is left as it was is left out. */
export function parametersOf(kind, draft) {
  const parameters = { kind };
  for (const field of fieldsOf(kind, draft)) {
    const value = READ[field.type](draft[field.name], field);
    if (!field.virtual && value !== undefined) parameters[field.name] = value;
  }
  return parameters;
}

const READ = {
  text: (text) => text.trim() || undefined,
  number: (text) => (text.trim() === "" ? undefined : Number(text)),
  check: (isOn, { value = true, isAlwaysSent }) => (isOn ? value : isAlwaysSent ? false : undefined),
  choice: (chosen) => chosen,
  conditions: (draft, { isAlwaysSent }) => {
    const conditions = fromDraft(draft);
    return isEmpty(conditions) && !isAlwaysSent ? undefined : conditions;
  },
};
