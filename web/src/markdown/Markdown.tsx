import { memo, useMemo, useRef } from "react";
import { GROUP, Groups, Growing, parse, type Block } from "./parse.js";
import { render } from "./render.js";

interface Props {
  text: string;
  /** More text is to come. */
  open: boolean;
  /** How many sources there are to cite. */
  sources: number;
}

/** Markdown as elements. Of a text that grows only the blocks are made anew that changed. */
export const Markdown = memo(function Markdown({ text, open, sources }: Props) {
  const growing = useRef<Growing | null>(null);
  const groups = useRef<Groups | null>(null);
  const blocks = useMemo(() => {
    if (!open) return growing.current?.end(text) ?? parse(text);
    growing.current ??= new Growing();
    return growing.current.update(text);
  }, [text, open]);
  return (
    <div className="prose">
      {(groups.current ??= new Groups()).update(blocks).map((group, at) => (
        <GroupView key={at} group={group} sources={sources} />
      ))}
    </div>
  );
});

interface GroupProps {
  group: readonly Block[];
  sources: number;
}

// What is complete need not be laid out and painted while nobody sees it.
const GroupView = memo(function GroupView({ group, sources }: GroupProps) {
  return (
    <div className="group" data-full={group.length === GROUP || undefined}>
      {group.map((block, at) => (
        <BlockView key={at} block={block} sources={sources} />
      ))}
    </div>
  );
});

const BlockView = memo(function BlockView({ block, sources }: { block: Block; sources: number }) {
  if (block.plain !== null) return <div className="plain">{block.plain}</div>;
  return render(block.tokens, { sources, open: block.open });
});
