import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import logging
import os
import sys
import dotenv.main
dotenv.main.find_dotenv = lambda *_, **__: sys.argv[1]
before = dict(os.environ)
import index.milvus.client
assert dict(os.environ) == before, os.environ
assert not logging.getLogger("pymilvus.decorators").isEnabledFor(logging.ERROR)
dotenv.load_dotenv()
assert os.environ["SANET_PORT"] == "1", "nobody would have read it"
"""


def test_importing_it_reads_no_settings_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SANET_PORT=1\n")
    subprocess.run([sys.executable, "-c", _PROGRAM, tmp_path / ".env"], check=True, timeout=300)


def test_without_it_the_extra_is_named() -> None:
    program = "import sys; sys.modules['pymilvus'] = None; import index.milvus.client"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert "ModuleNotFoundError: a gallery in Milvus needs the extra `cluster`" in done.stderr
