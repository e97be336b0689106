"""The TypeScript in the documentation compiles against the built package; what is marked runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Serve
from tests.clients.lines import PACKAGE
from tests.docs.blocks import ADDRESS, ROOT, Block, blocks_of

PAGES = (PACKAGE / "README.md", ROOT / "docs/how-to/typescript.md")
SAMPLES = [block for page in PAGES for block in blocks_of(page) if block.language in ("ts", "tsx")]
RUN = [block for block in SAMPLES if block.mark == "run"]


async def test_samples_compile(tmp_path: Path) -> None:
    for n, block in enumerate(SAMPLES):
        (tmp_path / f"sample{n}.{block.language}").write_text(block.text, "utf-8")
    assert len(SAMPLES) > 6
    modules = PACKAGE / "node_modules"
    options = json.loads((PACKAGE / "tsconfig.json").read_text())["compilerOptions"] | {
        "module": "ES2022",
        "moduleResolution": "Bundler",
        "typeRoots": [str(modules / "@types")],
        "noUnusedLocals": False,
        "paths": {
            "@fairlead/client": [str(PACKAGE / "dist/index.d.ts")],
            "@fairlead/client/server": [str(PACKAGE / "dist/server.d.ts")],
            "@fairlead/client/react": [str(PACKAGE / "dist/react/index.d.ts")],
            "ws": [str(modules / "@types/ws")],
            "react": [str(modules / "@types/react")],
            "react/jsx-runtime": [str(modules / "@types/react/jsx-runtime.d.ts")],
        },
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    await succeed(str(modules / ".bin/tsc"), "--project", str(tmp_path))


@pytest.mark.parametrize("block", RUN, ids=str)
async def test_samples_run(serve: Serve, tmp_path: Path, block: Block) -> None:
    """In Node, against a server whose model repeats the question."""
    (tmp_path / "sample.ts").write_text(block.text, "utf-8")
    bundle = [
        *(str(PACKAGE / "node_modules/.bin/esbuild"), str(tmp_path / "sample.ts"), "--bundle"),
        *("--platform=node", "--format=esm", f"--outfile={tmp_path / 'sample.mjs'}"),
        f"--alias:@fairlead/client={PACKAGE / 'dist/index.js'}",
        f"--alias:ws={PACKAGE / 'node_modules/ws/wrapper.mjs'}",
        # For what of it is CommonJS.
        "--banner:js=import {createRequire} from 'module';"
        "const require = createRequire(import.meta.url);",
    ]
    await succeed(*bundle)
    async with serve() as server:
        script = tmp_path / "sample.mjs"
        script.write_text(script.read_text("utf-8").replace(ADDRESS, server.url), "utf-8")
        assert await succeed("node", str(script))


async def succeed(*command: str) -> str:
    """Run a command; what it writes."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()
