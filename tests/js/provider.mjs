// A real OpenID provider: node provider.mjs '{"port", "keys", "fairlead", "ttl"}'
//
// Clients: `fairlead` logs people in, `batch` gets tokens for itself (opaque ones, and signed ones
// for the resource urn:fairlead), `gateway` asks about tokens. Whoever logs in is who they say.

import { Provider } from "oidc-provider";
import { options, report } from "./driver.mjs";

const { port, keys, fairlead, ttl } = options;
const service = { redirect_uris: [], response_types: [], grant_types: ["client_credentials"] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "fairlead",
      client_secret: "the secret of fairlead",
      redirect_uris: [`${fairlead}/login/callback`],
      post_logout_redirect_uris: [`${fairlead}/`],
    },
    { client_id: "batch", client_secret: "the secret of batch", ...service },
    { client_id: "gateway", client_secret: "the secret of gateway", ...service },
  ],
  jwks: { keys },
  cookies: { keys: ["a key for the provider's own cookies"] },
  scopes: ["openid", "profile", "ask", "admin"],
  claims: { profile: ["name", "groups"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `The ${id}`, groups: id === "root" ? ["admins"] : [] }),
  }),
  pkce: { required: () => true },
  ttl: {
    ClientCredentials: ttl,
    AccessToken: ttl,
    IdToken: 60,
    Grant: 600,
    Session: 600,
    Interaction: 600,
  },
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        scope: "ask admin",
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: keys[0].alg } },
      }),
    },
  },
});

provider.on("server_error", (_, error) => report({ is: "failed", error: String(error.stack) }));
provider.listen(port, "127.0.0.1", () => report({ is: "listening" }));
process.stdin.resume().on("end", () => process.exit());
