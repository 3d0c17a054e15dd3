# Rscript glmnet.R FOLDER TOLERANCE: X.bin, y.csv, path.csv to coef.bin and seconds.txt.
suppressMessages(library(glmnet))
glmnet.control(fdev = 0, devmax = 1)
arguments <- commandArgs(trailingOnly = TRUE)
at <- function(name) file.path(arguments[1], name)
y <- as.matrix(read.csv(at("y.csv"), header = FALSE))
X <- readBin(at("X.bin"), "double", file.size(at("X.bin")) / 8)
X <- matrix(X, nrow = nrow(y))
path <- scan(at("path.csv"), quiet = TRUE)
used <- system.time(fit <- suppressWarnings(glmnet(
  X, survival::Surv(y[, 1], y[, 2]), family = "cox", lambda = path, standardize = FALSE,
  thresh = as.numeric(arguments[2]), maxit = 1e8)))
cat(used[["user.self"]] + used[["sys.self"]], file = at("seconds.txt"))
writeBin(as.vector(as.matrix(fit$beta)), at("coef.bin"))
