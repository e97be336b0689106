import type { ComponentProps } from "react";
import { Icon } from "./icons.js";

interface Props extends ComponentProps<"button"> {
  icon: Parameters<typeof Icon>[0]["name"];
  label: string;
  size?: number;
}

/** A button that is a drawing; its name is said, and shown on hovering. */
export function IconButton({ icon, label, size, className = "", ...rest }: Props) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`icon-button ${className}`}
      {...rest}
    >
      <Icon name={icon} {...(size && { size })} />
    </button>
  );
}
