"""The TypeScript in the documentation compiles against the built package."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.docs.blocks import ROOT, blocks_of

PACKAGE = ROOT / "clients" / "typescript"


async def test_samples_compile(tmp_path: Path) -> None:
    count = 0
    for file in (PACKAGE / "README.md", ROOT / "docs/how-to/typescript.md"):
        for block in blocks_of(file):
            if block.language in ("ts", "tsx"):
                count += 1
                (tmp_path / f"sample{count}.{block.language}").write_text(block.text, "utf-8")
    assert count > 4
    modules = PACKAGE / "node_modules"
    options = json.loads((PACKAGE / "tsconfig.json").read_text())["compilerOptions"] | {
        "module": "ES2022",
        "moduleResolution": "Bundler",
        "typeRoots": [str(modules / "@types")],
        "noUnusedLocals": False,
        "paths": {
            "@fairlead/client": [str(PACKAGE / "dist/index.d.ts")],
            "@fairlead/client/react": [str(PACKAGE / "dist/react/index.d.ts")],
            "react": [str(modules / "@types/react")],
            "react/jsx-runtime": [str(modules / "@types/react/jsx-runtime.d.ts")],
        },
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    process = await asyncio.create_subprocess_exec(
        str(modules / ".bin/tsc"), "--project", str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
