# What R's selectiveInference, hdi, knockoff and stabs say of the tables that r_reference.py exports.
# Rscript r_reference.R FOLDER SOURCES: SOURCES holds the packages' sources, cran+hdi and so on.
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
read <- function(name) as.matrix(read.csv(file.path(folder, name), header = FALSE))
write <- function(name, x) write.table(format(x, digits = 17), file.path(folder, name),
                                       row.names = FALSE, col.names = FALSE, sep = ",", quote = FALSE)
source_all <- function(package, files) for (file in files)
  source(file.path(arguments[2], package, "R", file))
library(glmnet)
X <- read("X.csv"); y <- read("y.csv")[, 1]; beta <- read("beta.csv")[, 1]
Z <- read("Z.csv"); W <- read("W.csv")[, 1]

source_all("cran+selectiveInference", c("funs.common.R", "funs.inf.R", "funs.fixed.R"))
inference <- fixedLassoInf(X, y, beta, lambda = 0.03 * nrow(X), sigma = 0.5, alpha = 0.1,
                           intercept = TRUE)
write("selective.csv", cbind(inference$vars, inference$coef0, inference$pv, inference$ci,
                             inference$vlo, inference$vup))

source_all("cran+hdi", c("helpers.R", "lasso-proj.R"))
projected <- despars.lasso.est(x = X, y = y, Z = Z, betalasso = beta)
error <- est.stderr.despars.lasso(x = X, y = y, Z = Z, betalasso = beta, sigmahat = 0.5, robust = FALSE)
write("debiased.csv", cbind(projected, error))

source_all("cran+knockoff", c("knockoff_filter.R", "solve_equi.R", "util.R"))
write("threshold.csv", outer(c(0, 1), c(0.1, 0.2, 0.3),
                             Vectorize(function(o, q) knockoff.threshold(W, q, o))))
write("equi.csv", create.solve_equi(cor(X)))

source_all("hofnerb+stabs", "helpers.R")
cases <- rbind(c(10, 1000, .75, 50), c(7, 200, .6, 50), c(7, 200, .9, 50), c(5, 60, .8, 30))
write("bounds.csv", cbind(cases, apply(cases, 1, function(v) v[2] * minD(v[1], v[2], v[3], v[4])),
  apply(cases, 1, function(v) v[1]^2 / v[2] / um_const(v[3], v[4], v[1] / v[2]))))
