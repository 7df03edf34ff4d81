"""`python -m kubeception_sim` is the same as `kubeception`."""

from kubeception_sim.cli import main

if __name__ == "__main__":
    main()
