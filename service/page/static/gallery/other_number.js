/** Changing records only as they were seen, and what to say where others are there meanwhile. */
import { Problem } from "../api/problem.js";
import { count, plural } from "../format.js";
import { galleryChanged } from "./changes.js";

/**
 * Does `change` with each of the requests (`selection.js`), one after another; if other records are there than were
 * seen, the gallery is read again and the problem says in words what was done.
 *
 * @param lookAgain called before that, such as to forget records that are gone.
 */
export async function changeAsSeen(requests, change, lookAgain) {
  let numChanged = 0;
  try {
    for (const request of requests) {
      await change(request);
      numChanged += request.number;
    }
  } catch (problem) {
    if (problem.kind !== "other-number") throw problem;
    await lookAgain();
    galleryChanged();
    const all = requests.reduce((sum, { number }) => sum + number, 0);
    const done = numChanged ? `Only ${count(numChanged)} of ${plural(all, "record")} were changed` : "Nothing was done";
    throw new Problem({
      ...problem,
      title: "The gallery has changed meanwhile",
      detail:
        `${done}, because other records are there now than you saw (${problem.detail}). ` +
        "The list has been read again: look at it, and repeat what you wanted to do.",
    });
  }
}
