"""Build a wheel that works outside a checkout: it contains the files that the package reads."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Names and contents as in the checkout; MANIFEST.in puts the same files into an sdist.
SHIPPED = ("results/experiments/*.parquet", "results/bench.json", "tools/assets/loader.js",
           "_toc.yml")  # fmt: skip


class Build(build_py):
    """`build_py`, followed by copies of `SHIPPED` in `dpofield/shipped`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the package then finds the checkout itself
            return
        for pattern in SHIPPED:
            found = sorted(Path().glob(pattern))
            if not found:
                raise SystemExit(f"{pattern} is missing; build the wheel from a whole checkout")
            for source in found:
                target = Path(self.build_lib, "dpofield", "shipped", source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": Build})
