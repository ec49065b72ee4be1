"""What all tests stand on: Ctrl-C is heard, also where whoever runs them ignores it for them."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell, nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)
