# Coefficients and objectives by R's survival and glmnet, for what survival_reference.py exports.
# Rscript survival_reference.R FOLDER: reads NAME_X.csv, NAME_y.csv (time, event, stratum, weight)
# and cases.csv, writes coxph.csv and glmnet.csv.
library(glmnet)
library(survival)
glmnet.control(fdev = 0, devmax = 1)

folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(name) list(
  X = as.matrix(read.csv(file.path(folder, paste0(name, "_X.csv")), header = FALSE)),
  y = as.matrix(read.csv(file.path(folder, paste0(name, "_y.csv")), header = FALSE)))

coxph_case <- function(case) {
  t <- table_of(case$table)
  y <- Surv(t$y[, 1], t$y[, 2])
  w <- if (case$weighted) t$y[, 4] else rep(1, nrow(t$y))
  g <- if (case$stratified) t$y[, 3] else rep(1, nrow(t$y))
  control <- coxph.control(eps = 1e-14, iter.max = 100, timefix = FALSE)
  fit <- coxph(y ~ t$X + strata(g), weights = w, ties = case$ties, control = control)
  H <- basehaz(fit, centered = FALSE)
  data.frame(case, loglik_null = sprintf("%.17g", fit$loglik[1]),
             loglik = sprintf("%.17g", fit$loglik[2]),
             hazard = sprintf("%.17g", sum(H$hazard)),
             concordance = sprintf("%.17g", concordance(fit)$concordance),
             coef = paste(sprintf("%.17g", coef(fit)), collapse = " "))
}

glmnet_case <- function(case) {
  t <- table_of(case$table)
  colnames(t$y) <- c("time", "status", "stratum", "weight")
  y <- Surv(t$y[, 1], t$y[, 2])
  if (case$stratified) y <- stratifySurv(y, t$y[, 3])
  w <- if (case$weighted) t$y[, 4] else rep(1, nrow(t$y))
  path <- case$lambda * exp(seq(log(1 / case$ratio), 0, length.out = 20))
  fit <- glmnet(t$X, y, family = "cox", alpha = case$l1_ratio, lambda = path, weights = w,
                standardize = FALSE, thresh = 1e-13, maxit = 1e7)
  beta <- as.numeric(fit$beta[, 20])
  n <- sum(w)
  cat(case$table, case$ratio, fit$dev.ratio[20], "\n")
  loss <- fit$nulldev * (1 - fit$dev.ratio[20]) / 2 / n
  omega <- case$l1_ratio * sum(abs(beta)) + (1 - case$l1_ratio) / 2 * sum(beta^2)
  data.frame(case, deviance_per_sample = sprintf("%.17g", loss),
             objective = sprintf("%.17g", loss + case$lambda * omega),
             n_nonzero = sum(beta != 0), version = as.character(packageVersion("glmnet")),
             coef = paste(sprintf("%.17g", beta), collapse = " "))
}

each <- function(file, run) {
  cases <- read.csv(file.path(folder, file), stringsAsFactors = FALSE)
  do.call(rbind, lapply(seq_len(nrow(cases)), function(i) run(cases[i, ])))
}
write.csv(each("coxph_cases.csv", coxph_case), file.path(folder, "coxph.csv"), row.names = FALSE)
write.csv(each("glmnet_cases.csv", glmnet_case), file.path(folder, "glmnet.csv"), row.names = FALSE)
