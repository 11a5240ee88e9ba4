/** Deleting records, and bringing them back. */
import { call, send } from "../api/client.js";
import { count, plural } from "../format.js";
import { toast, toastProblem } from "../parts/toasts.js";
import { galleryChanged } from "./changes.js";
import { changeAsSeen } from "./other_number.js";

/** Deletes one record and says so, with a button that brings it back. */
export async function deleteRecord(id) {
  const response = await send(`gallery/${id}`, { method: "DELETE" });
  const undoUrl = /<([^>]+)>; rel="undo"/.exec(response.headers.get("Link") ?? "")?.[1];
  offerUndo(1, undoUrl ? [undoUrl] : []);
}

/** Deletes what the requests mean (`selection.js`), as it was seen (`other_number.js`), and says so. */
export async function deleteMany(requests, lookAgain) {
  const undoUrls = [];
  let deleted = 0;
  try {
    const change = async ({ query }) => {
      const answer = await call("gallery", { method: "DELETE", query });
      deleted += answer.deleted;
      if (answer.undo_url) undoUrls.push(answer.undo_url);
    };
    await changeAsSeen(requests, change, lookAgain);
  } finally {
    if (deleted) offerUndo(deleted, undoUrls);
  }
}

function offerUndo(deleted, undoUrls) {
  const action = undoUrls.length ? { text: "Undo", run: () => undo(undoUrls) } : null;
  toast(`${plural(deleted, "record")} deleted`, action);
  galleryChanged();
}

/** Brings back what was deleted, and says what came of it. */
export async function undo(undoUrls) {
  const sum = { restored: 0, enrolled_again: 0, lost_images: 0 };
  try {
    for (const url of undoUrls) {
      const answer = await call(url, { method: "POST" });
      for (const name of Object.keys(sum)) sum[name] += answer[name];
    }
    const again = sum.enrolled_again ? `; ${count(sum.enrolled_again)} had been enrolled again` : "";
    const lost = sum.lost_images ? `; ${plural(sum.lost_images, "image")} lost: enrol them again` : "";
    toast(`${plural(sum.restored, "record")} back${again}${lost}`);
  } catch (problem) {
    toastProblem(problem);
  }
  galleryChanged();
}
