# Intervals by hdi and stability selection by stabs; CPU seconds, one number a line.
# Arguments: a file with n, p, X by columns and y as doubles; the file to be written; a folder with
# the sources of both packages; "hdi" or "stabs".
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages({library(glmnet); library(parallel)})
source <- file(arguments[1], "rb")
shape <- readBin(source, "double", 2)
X <- matrix(readBin(source, "double", prod(shape)), shape[1])
y <- readBin(source, "double", shape[1])
close(source)
package <- if (arguments[4] == "hdi") "cran+hdi" else "hofnerb+stabs"
for (path in list.files(file.path(arguments[3], package, "R"), full.names = TRUE)) base::source(path)
colnames(X) <- paste0("x", seq_len(ncol(X)))
set.seed(1)
seconds <- system.time(suppressMessages(suppressWarnings(
  if (arguments[4] == "hdi") {
    lasso.proj(X, y, betainit = "cv lasso", sigma = 1, suppress.grouptesting = TRUE)
  } else {
    stabsel.matrix(X, y, fitfun = glmnet.lasso, q = 10, cutoff = 0.75, B = 50, mc.cores = 1)
  }
)))
writeLines(sprintf("%.6f", sum(seconds[1:2])), arguments[2])
