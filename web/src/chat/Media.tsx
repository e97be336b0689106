import type { EventData } from "@fairlead/client";
import { useEffect, useState } from "react";
import { Enlarged } from "../ui/Enlarged.js";
import { words } from "../words/words.js";

/** What may be shown without running anything. */
const PICTURES = /^image\/(?:png|jpeg|gif|webp|avif)$/;
const SOUND = /^audio\//;
const FILM = /^video\//;

/** A piece of binary output. What lies elsewhere is not fetched: a link leads there. */
export function Media({ piece }: { piece: EventData["media"] }) {
  const { content_type: type, data, address } = piece;
  const [own, setOwn] = useState("");
  useEffect(() => {
    if (!data) return;
    const made = URL.createObjectURL(new Blob([data], { type }));
    setOwn(made);
    return () => URL.revokeObjectURL(made);
  }, [data, type]);
  if (own && PICTURES.test(type)) {
    return <Enlarged className="media" source={own} name={words.media} />;
  }
  if (own && SOUND.test(type)) return <audio className="media" src={own} controls />;
  if (own && FILM.test(type)) return <video className="media" src={own} controls />;
  if (own) {
    return (
      <a className="button" href={own} download="output">
        {words.download} ({type})
      </a>
    );
  }
  if (address && /^https?:/i.test(address)) {
    return (
      <a href={address} target="_blank" rel="noopener noreferrer nofollow">
        {address}
      </a>
    );
  }
  return null;
}
