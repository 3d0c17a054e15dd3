"""The peers, in the order of the tables; one module a family of libraries, imported when used."""

from benchmarks.regression.peers.base import Fit, Peer
from benchmarks.regression.peers.general import Cyanure, Glum
from benchmarks.regression.peers.own import Gossamer, GossamerTwoThreads
from benchmarks.regression.peers.pathwise import Adelie, Pycasso, PythonGlmnet
from benchmarks.regression.peers.r_glmnet import RGlmnet
from benchmarks.regression.peers.scikit_learn import ScikitLearn
from benchmarks.regression.peers.working_sets import Celer, Skglm

PEERS: dict[str, Peer] = {
    kind.name: kind()
    for kind in (
        Gossamer,
        GossamerTwoThreads,
        Celer,
        Skglm,
        Adelie,
        ScikitLearn,
        PythonGlmnet,
        RGlmnet,
        Pycasso,
        Glum,
        Cyanure,
    )
}
OWN = (Gossamer.name, GossamerTwoThreads.name)

__all__ = ["OWN", "PEERS", "Fit", "Peer"]
