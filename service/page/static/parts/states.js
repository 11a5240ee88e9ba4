/** What a view shows instead of its contents: nothing there, loading, or why it failed. */
import { keyAsked } from "../api/key.js";
import { html } from "../html.js";
import { Icon } from "./icon.js";

export function Empty({ icon, title, children }) {
  return html`
    <div class="empty">
      ${icon && html`<${Icon} name=${icon} size="36" />`}
      <h2>${title}</h2>
      ${children && html`<p>${children}</p>`}
    </div>
  `;
}

export function Loading({ text = "Loading" }) {
  return html`<div class="empty" role="status"><div class="spinner"></div><span>${text} …</span></div>`;
}

/** A problem in words, with what one can do about it. */
export function Failure({ problem, retry }) {
  const [icon, title, text] = explain(problem);
  return html`
    <div class="empty" role="alert">
      <${Icon} name=${icon} size="36" />
      <h2>${title}</h2>
      <p>${text}</p>
      <div class="row">
        ${problem.status === 401 && html`<button class="button primary" onClick=${() => keyAsked.set("")}>Enter a key</button>`}
        ${problem.status === 403 && html`<button class="button" onClick=${() => keyAsked.set("")}>Use another key</button>`}
        ${retry && problem.status !== 401 && html`<button class="button" onClick=${retry}>Try again</button>`}
      </div>
      ${problem.requestId && html`<p class="small faint">Request ${problem.requestId}: the service's log has more.</p>`}
    </div>
  `;
}

/** An icon, a title and a sentence for a problem, for people who do not know HTTP. */
export function explain(problem) {
  switch (true) {
    case problem.kind === "offline":
      return ["offline", "The service does not answer", "It may be restarting. The page goes on by itself when it is back."];
    case problem.status === 401:
      return ["key", "A key is needed", "This service answers only those who have an API key."];
    case problem.status === 403:
      return ["key", "This key may not do that", problem.detail];
    case problem.status === 429:
      return ["clock", "The service is overloaded", "Nothing was done. Try again in a moment."];
    case problem.status === 503:
      return ["clock", "The service is not ready", problem.detail];
    case problem.status >= 500:
      return ["warning", "The service failed", problem.detail];
    default:
      return ["warning", problem.title ?? "This page failed", problem.detail ?? problem.message];
  }
}
