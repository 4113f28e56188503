"""Where jobs run: in this process, or in worker processes of this machine."""
