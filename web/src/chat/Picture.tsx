import { FairleadError } from "@fairlead/client";
import { useEffect, useState } from "react";
import { useSession } from "../lib/session.js";
import { Enlarged } from "../ui/Enlarged.js";

interface Props {
  conversation: string;
  attachment: string;
  name: string;
}

/** A picture that came with a question. It is fetched, as a page's own picture has no credential. */
export function Picture({ conversation, attachment, name }: Props) {
  const { server } = useSession();
  const [address, setAddress] = useState("");
  useEffect(() => {
    let made = "";
    let left = false;
    server
      .attachment(conversation, attachment)
      .then((blob) => {
        if (left) return;
        made = URL.createObjectURL(blob);
        setAddress(made);
      })
      .catch((problem: unknown) => {
        if (!(problem instanceof FairleadError)) throw problem; // its name stands there instead
      });
    return () => {
      left = true;
      if (made) URL.revokeObjectURL(made);
    };
  }, [server, conversation, attachment]);
  if (!address) return <span className="file">{name}</span>;
  return <Enlarged className="picture" source={address} name={name} />;
}
