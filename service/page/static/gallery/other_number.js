/** What to say where other records pass the conditions than were seen. */
import { Problem } from "../api/problem.js";
import { galleryChanged } from "./changes.js";

/**
 * Does `work`; if the records have changed meanwhile, the gallery is read again and the problem says so in words.
 *
 * @param lookAgain called before that, such as to forget records that are gone.
 */
export async function explainOtherNumber(work, lookAgain = async () => {}) {
  try {
    return await work();
  } catch (problem) {
    if (problem.kind !== "other-number") throw problem;
    await lookAgain();
    galleryChanged();
    throw new Problem({
      ...problem,
      title: "The gallery has changed meanwhile",
      detail:
        `Nothing was done to these records, because other ones are there now than you saw (${problem.detail}). ` +
        "The list has been read again: look at it, and repeat what you wanted to do.",
    });
  }
}
