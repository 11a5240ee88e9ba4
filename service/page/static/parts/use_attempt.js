/** What failed is tried again when there is reason to think that it succeeds now. */
import { useEffect, useState } from "preact/hooks";
import { connection } from "../api/connection.js";
import { key } from "../api/key.js";

/** A number that grows, while `hasFailed`, whenever the service is back or the key is another one. */
export function useAttempt(hasFailed) {
  const [attempt, setAttempt] = useState(1);
  useEffect(() => {
    if (!hasFailed) return;
    const tryAgain = () => setAttempt((before) => before + 1);
    const stopConnection = connection.listen((now) => now === "ready" && tryAgain());
    const stopKey = key.listen(tryAgain);
    return () => {
      stopConnection();
      stopKey();
    };
  }, [hasFailed]);
  return attempt;
}
