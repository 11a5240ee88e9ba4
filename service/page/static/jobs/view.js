/** Work that takes minutes: all of it, one of it, and the forms that start it. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { JobList } from "./job_list.js";
import { JobPage } from "./job_page.js";
import { NewJob } from "./new_job.js";

export function View({ rest: [first, second], query }) {
  useFocus(`${first}/${second}`);
  if (first === "new") return html`<${NewJob} kind=${second} />`;
  if (first) return html`<${JobPage} key=${first} id=${first} />`;
  return html`<${JobList} query=${query} />`;
}

/** The link that led to another place is gone: the keyboard goes on at its top. */
function useFocus(place) {
  const shown = useRef(place);
  useLayoutEffect(() => {
    if (shown.current === place) return;
    shown.current = place;
    document.getElementById("main").focus();
    scrollTo(0, 0);
  }, [place]);
}
