/**
 * Pictures of records. They are fetched with the key, which the `src` of an image cannot send; only when they come near
 * to what is seen, and a few at a time, so that two hundred of them do not delay a query.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { send } from "../api/client.js";
import { key } from "../api/key.js";
import { html } from "../html.js";
import { useAttempt } from "./use_attempt.js";

const MOST_AT_ONCE = 6;
const MOST_KEPT = 400;
const MARGIN = "300px";
/** An address that is not kept any more may have been given to an image that has not read it yet. */
const REVOKED_AFTER_MS = 60_000;

const kept = new Map();
const asked = [];
const waiting = [];
let running = 0;

key.listen(() => {
  for (const path of [...kept.keys()]) forget(path);
});

function forget(path) {
  const revokeLater = (url) => setTimeout(() => URL.revokeObjectURL(url), REVOKED_AFTER_MS);
  kept.get(path).then(revokeLater, () => {});
  kept.delete(path);
}

/** A `blob:` address of the image at `path`; the same until many others were asked for. */
export function imageUrl(path) {
  let url = kept.get(path);
  if (url) kept.delete(path);
  else {
    url = new Promise((resolve, reject) => asked.push({ path, resolve, reject }));
    // After another key was entered it may have been asked for anew.
    url.catch(() => kept.get(path) === url && kept.delete(path));
    if (asked.length === 1) setTimeout(takeAsked);
  }
  kept.set(path, url);
  if (kept.size > MOST_KEPT) forget(kept.keys().next().value);
  return url;
}

/** What was asked for last is what is looked at; of what was asked for together, the first comes first. */
function takeAsked() {
  waiting.push(...asked.splice(0).reverse());
  pump();
}

function pump() {
  while (running < MOST_AT_ONCE && waiting.length) {
    const { path, resolve, reject } = waiting.pop();
    running++;
    send(path)
      .then((response) => response.blob())
      .then((blob) => resolve(URL.createObjectURL(blob)))
      .catch(reject)
      .finally(() => {
        running--;
        pump();
      });
  }
}

// One observer for all pictures: hundreds of them would take as long as drawing what they watch.
const whenNear = new WeakMap();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      whenNear.get(target)();
    }
  },
  { rootMargin: MARGIN },
);

/** A square picture; where it cannot be had, the reason. `children` are drawn over it. */
export function Picture({ path, alt, children }) {
  const frame = useRef(null);
  const [near, setNear] = useState(false);
  const [state, setState] = useState({});
  const attempt = useAttempt(Boolean(state.problem));
  useEffect(() => {
    const element = frame.current;
    whenNear.set(element, () => setNear(true));
    observer.observe(element);
    return () => observer.unobserve(element);
  }, []);
  useEffect(() => {
    if (!near || !path) return;
    let current = true;
    setState({});
    imageUrl(path).then(
      (url) => current && setState({ url }),
      (problem) => current && setState({ problem }),
    );
    return () => (current = false);
  }, [near, path, attempt]);
  return html`
    <div class="picture" ref=${frame}>
      ${state.url && html`<img src=${state.url} alt=${alt} decoding="async" />`}
      ${state.problem && html`<span role="img" aria-label=${alt}>${reason(state.problem)}</span>`}
      ${children}
    </div>
  `;
}

/** Why a picture is not there, in a few words. */
export function reason(problem) {
  if (problem.kind === "other-model") return "Not embedded by this model yet";
  if (problem.status === 404) return "Deleted";
  if (problem.kind === "gallery-damaged") return "Image lost";
  return "Not available";
}
