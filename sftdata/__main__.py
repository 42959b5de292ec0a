"""Where the command begins, and `python -m sftdata`: until it is loaded, Ctrl-C ends it without a traceback."""

import gc
import os
import signal


def main() -> None:
    """Load the command line and run it; it says itself what happens on a signal from then on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not what `nohup` wants to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(200_000, 50, 100)  # imports make many objects that stay; looking through them costs a tenth second
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # to look for them in all packages takes 20 ms or more
    from sftdata.cli import main as run

    try:
        run()
    finally:
        gc.freeze()  # else the interpreter looks through all that was loaded before it ends: a fifth of a short command


if __name__ == "__main__":
    main()
