"""Pack a model version, Triagem's wheel and the handler as the model.tar.gz that SageMaker unpacks to /opt/ml/model.

make release
python deploy/sagemaker/pack.py v1.0.0 dist/triagem-*.whl model.tar.gz
"""

import argparse
import io
import tarfile
from pathlib import Path

from triagem.contracts.errors import NotRetryable
from triagem.registry import Registry, RegistrySettings

HANDLER = Path(__file__).with_name("inference.py")
UNPACKED = "/opt/ml/model/code"


def pack(registry: Registry, version: str, wheel: Path, target: Path) -> None:
    """Write the archive: the version's files at the top level, next to `code/`. Raises ModelCorrupt."""
    registry.verify(version)
    # The container runs pip before it imports the handler. Its image may already contain torch and transformers.
    requirement = f"triagem[engine] @ file://{UNPACKED}/{wheel.name}\n".encode()
    with tarfile.open(target, "w:gz") as archive:
        for path in sorted(registry.folder(version).iterdir()):
            archive.add(path, arcname=path.name)
        archive.add(HANDLER, arcname="code/inference.py")
        archive.add(wheel, arcname=f"code/{wheel.name}")
        requirements_file = tarfile.TarInfo("code/requirements.txt")
        requirements_file.size = len(requirement)
        archive.addfile(requirements_file, io.BytesIO(requirement))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="a version from `triagem models list`")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    try:
        pack(Registry(RegistrySettings().registry_url), arguments.version, arguments.wheel, arguments.target)
    except (NotRetryable, OSError) as error:
        parser.exit(1, f"{error}\n")
