"""Programs of the tests, started as processes of their own and ended from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Final, Self

__all__ = ["Child"]

_ROOT: Final = Path(__file__).parents[2]


class Child:
    """``python -m module arguments``, whose lines are heard while it runs. Leaving the block kills it.

    Args:
        hear: Called with every line, in a thread of the child's own; True = count it.
    """

    def __init__(self, module: str, *arguments: object, hear: Callable[[bytes], object] = bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_ROOT,
        )
        self._hear = hear
        self._news = Condition()
        self._ended = False
        self.counted = 0
        self.lines: list[str] = []
        self.complaints = ""
        self._ears = [Thread(target=self._listen, daemon=True), Thread(target=self._listen_to_errors, daemon=True)]
        for ear in self._ears:
            ear.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # --- listening -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            counts = bool(self._hear(line))
            with self._news:
                self.counted += counts
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _listen_to_errors(self) -> None:
        assert self._process.stderr is not None
        self.complaints = self._process.stderr.read().decode()

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 15) -> None:
        """Wait until something is true of what was heard.

        Raises:
            AssertionError: It did not become true in time, or the program ended before.
        """
        with self._news:
            self._news.wait_for(lambda: holds() or self._ended, timeout_s)
            if holds():
                return
        raise AssertionError(f"heard {self.lines[-5:]} and waited in vain; {self._state()}")

    def wait_for_count(self, count: int, timeout_s: float = 15) -> None:
        """Wait until so many lines were counted."""
        self.wait_until(lambda: self.counted >= count, timeout_s)

    def _state(self) -> str:
        if not self._ended:
            return "the program still runs"
        code = self._process.wait()
        self._ears[1].join()
        return f"the program ended with {code}\n{self.complaints}"

    # --- talking -------------------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """Send one line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Freeze it, as a suspended laptop or a swapping machine does."""
        self._process.send_signal(signal.SIGSTOP)
        self.wait_until_stopped()

    def wait_until_stopped(self) -> None:
        """Wait until it is frozen, by `stop` or by itself."""
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._process.send_signal(signal.SIGCONT)

    def wait_for_end(self, timeout_s: float = 15) -> int:
        """Wait until it ends by itself and everything it said has been heard; its exit code, negative for a signal."""
        self.wait_until(lambda: self._ended, timeout_s)
        code = self._process.wait()
        for ear in self._ears:
            ear.join()
        assert code <= 0, self._state()
        return code

    def end_by(self, number: signal.Signals) -> None:
        """End it by a signal, which it does not handle."""
        self._process.send_signal(number)
        assert self.wait_for_end() == -number

    # --- ending --------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL; afterwards everything it ever said has been heard. Idempotent."""
        self._process.kill()
        self._process.wait()
        for ear in self._ears:
            ear.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def finish(self, timeout_s: float = 15) -> list[str]:
        """Close its standard input, wait for its end and return what it said.

        Raises:
            AssertionError: It failed, or did not end.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self.wait_for_end(timeout_s) == 0, self._state()
        return self.lines
