import type { ReactElement } from "react";
import { LABELS } from "./labels.js";

export interface ThinkingIndicatorProps {
  /** What is being done, in the server's words. */
  message?: string | undefined;
  /** Said where the server says nothing. */
  label?: string;
  className?: string;
}

/** That an answer is under way. Style it by `[data-fairlead="thinking"]`. */
export function ThinkingIndicator({
  message,
  label = LABELS.thinking,
  className,
}: ThinkingIndicatorProps): ReactElement {
  return (
    <p data-fairlead="thinking" className={className} role="status">
      {message || label}
    </p>
  );
}
