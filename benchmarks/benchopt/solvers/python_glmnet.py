from benchmark_utils import PeerSolver


class Solver(PeerSolver):
    name = "python-glmnet"
