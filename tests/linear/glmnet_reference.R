# Optimal objectives by R's glmnet, for the problems that glmnet_reference.py exports.
# Rscript glmnet_reference.R FOLDER: reads cases.csv and the matrices, writes objectives.csv.
#
# Scalings that matter: standardize = FALSE; a Gaussian response has variance 1 (glmnet
# standardises it inside, which would change the ridge part of the elastic net); fdev = 0 and
# devmax = 1, or a path stops before its last value; thresh is relative to the null deviance.
library(glmnet)
library(Matrix)
glmnet.control(fdev = 0, devmax = 1)

folder <- commandArgs(trailingOnly = TRUE)[1]
cases <- read.csv(file.path(folder, "cases.csv"), stringsAsFactors = FALSE)

mean_loss <- function(eta, y, family) switch(family,
  gaussian = mean((y - eta)^2) / 2,
  mgaussian = sum((y - eta)^2) / 2 / nrow(y),
  binomial = mean(log1p(exp(-abs(eta))) + pmax(eta, 0) - y * eta),
  poisson = mean(exp(eta) - y * eta - (y - ifelse(y > 0, y * log(y), 0))),
  multinomial = {
    top <- apply(eta, 1, max)
    mean(top + log(rowSums(exp(eta - top))) - eta[cbind(seq_along(y), y + 1)])
  })

solve_case <- function(case) {
  X <- as(readMM(file.path(folder, paste0(case$table, ".mtx"))), "CsparseMatrix")
  if (!case$sparse) X <- as.matrix(X)
  y <- as.matrix(read.csv(file.path(folder, paste0(case$table, "_y.csv")), header = FALSE))
  if (case$family != "mgaussian") y <- y[, 1]
  path <- case$lambda * exp(seq(log(1 / case$ratio), 0, length.out = 40))
  fit <- glmnet(X, if (case$family == "multinomial") factor(y) else y, family = case$family,
                alpha = case$alpha, lambda = path, standardize = FALSE, thresh = 1e-15,
                maxit = 1e8)
  stopifnot(length(fit$lambda) == 40)
  eta <- drop(predict(fit, X, s = fit$lambda[40], type = "link"))
  if (length(dim(eta)) == 3) eta <- eta[, , 1]
  coefs <- coef(fit, s = fit$lambda[40])
  w <- if (is.list(coefs)) sapply(coefs, function(b) as.matrix(b)[-1, ]) else as.matrix(coefs)[-1, ]
  size <- if (case$family == "mgaussian") sqrt(rowSums(w^2)) else abs(w)
  omega <- case$lambda * (case$alpha * sum(size) + (1 - case$alpha) / 2 * sum(w^2))
  case$scale * (mean_loss(eta, y, case$family) + omega)
}

cases$objective <- sapply(seq_len(nrow(cases)), function(i) {
  value <- solve_case(cases[i, ])
  cat(cases$table[i], cases$family[i], cases$ratio[i], value, "\n")
  sprintf("%.17g", value)
})
cases$version <- as.character(packageVersion("glmnet"))
write.csv(cases, file.path(folder, "objectives.csv"), row.names = FALSE)
