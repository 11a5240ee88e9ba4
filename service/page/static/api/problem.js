/** Why a request failed: the service's problem document (RFC 9457), or that there was no answer. */
export class Problem extends Error {
  /** `kind` is what follows `urn:sanet:problem:`, or `offline` without an answer. */
  constructor({ kind, status = 0, title, detail = "", retryAfterS = null, requestId = null, answer = {} }) {
    super(detail || title);
    Object.assign(this, { kind, status, title, detail, retryAfterS, requestId, answer });
  }

  static async of(response) {
    const answer = await response.json().catch(() => ({}));
    return new Problem({
      kind: (answer.type ?? "").split(":").pop() || "unknown",
      status: response.status,
      title: answer.title ?? `The service answered ${response.status}`,
      detail: answer.detail,
      retryAfterS: Number(response.headers.get("Retry-After")) || null,
      requestId: response.headers.get("X-Request-Id"),
      answer,
    });
  }

  static offline() {
    return new Problem({ kind: "offline", title: "The service does not answer" });
  }
}
