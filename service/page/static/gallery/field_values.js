/** The fields of a vehicle: as texts in a form, and as values of the service, where null clears one. */
import { fromLocal, toLocal } from "../parts/local_time.js";
import { listText, listValues } from "../parts/value_list.js";

export const EMPTY_DRAFT = {
  identity: "", camera: "", captured_at: "", latitude: "", longitude: "", tags: "", source: "", attributes: [],
};

const NAMES = Object.keys(EMPTY_DRAFT);

/** What a form shows of a record. */
export function toDraft(record) {
  return {
    identity: record.identity ?? "",
    camera: record.camera ?? "",
    captured_at: toLocal(record.captured_at),
    latitude: record.latitude === null ? "" : String(record.latitude),
    longitude: record.longitude === null ? "" : String(record.longitude),
    tags: listText(record.tags),
    source: record.source ?? "",
    attributes: Object.entries(record.attributes).map(([name, value]) => ({ name, value })),
  };
}

/** The value of one field of a form. */
export function valueOf(name, draft) {
  const text = draft[name];
  if (name === "attributes") {
    const filled = text.filter((one) => one.name.trim() || one.value.trim());
    return Object.fromEntries(filled.map((one) => [one.name.trim(), one.value.trim()]));
  }
  if (name === "tags") return listValues(text);
  if (!text.trim()) return null;
  if (name === "captured_at") return fromLocal(text);
  if (name === "latitude" || name === "longitude") return Number(text);
  return text.trim();
}

/** The values of the fields that differ between two drafts. */
export function changedValues(before, after) {
  const differs = (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]);
  return Object.fromEntries(NAMES.filter(differs).map((name) => [name, valueOf(name, after)]));
}
