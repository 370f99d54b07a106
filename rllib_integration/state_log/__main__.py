"""Export a state log: python3 -m rllib_integration.state_log RUN --output sim_trace.log"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rllib_integration.state_log.files import FOLDER, read_state_log, state_log_files
from rllib_integration.state_log.sim_trace import sim_trace_lines


def main() -> int:
    """Write the log as AWS DeepRacer's analysis notebooks read it."""
    parser = argparse.ArgumentParser(description="Write a run's state log as AWS DeepRacer's SIM_TRACE_LOG.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, trained with --state-log")
    parser.add_argument("--evaluation", action="store_true", help="of the evaluations, instead of the training")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="such as sim_trace.log")
    arguments = parser.parse_args()
    folder, kind = arguments.run.expanduser() / FOLDER, "eval" if arguments.evaluation else "train"
    if not state_log_files(folder, kind):
        print(f"Error: There is no state log in {folder}; train with --state-log.", file=sys.stderr)
        return 1
    written = 0
    with arguments.output.expanduser().open("w", encoding="utf-8") as file:
        for line in sim_trace_lines(read_state_log(folder, kind)):
            file.write(line + "\n")
            written += 1
    print(f"{arguments.output}: {written} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
