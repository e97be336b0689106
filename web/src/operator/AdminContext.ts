import type { Admin } from "@fairlead/client/admin";
import { createContext, use } from "react";

export const AdminContext = createContext<Admin | null>(null);

/** What the operator's page talks to the server through. */
export function useAdmin(): Admin {
  const admin = use(AdminContext);
  if (!admin) throw new TypeError("there is no operator here");
  return admin;
}
