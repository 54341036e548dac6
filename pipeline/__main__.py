"""Run a pipeline on a file, or look after model weights, with no services: ``python -m pipeline --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pydantic import ValidationError

from pipeline import command, evaluate_command, models_command
from pipeline.errors import PipelineError
from pipeline.settings import PipelineSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 an error of ours or of the input, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = PipelineSettings()
        if words[:1] == ["models"]:
            return models_command.run(words[1:], settings)
        if words[:1] == ["evaluate"]:
            return evaluate_command.run(words[1:], settings)
        return command.run(words, settings)
    except ValidationError as error:
        faults = [f"FQ_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
        print("wrong settings: " + "; ".join(faults), file=sys.stderr)
        return 2
    except PipelineError as error:
        print(f"error {error.code}: {error.message}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `... | head` has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
