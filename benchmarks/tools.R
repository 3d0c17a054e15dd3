# R's tools at each of the tolerances tol, run by r.R on X, y, the strengths path (largest first).
# Words: tool, and family, penalty, l1_ratio, gamma, k, ties, level or theta, where it needs them.
# Gives coef (p x outputs x points x tolerances), intercept (outputs x points x tolerances), and
# CPU seconds (one a tolerance).
suppressMessages(library(o$tool, character.only = TRUE))
number <- function(word) as.numeric(o[[word]])
X <- take("X")
y <- take("y")
path <- take("path")

# coefficients with the intercept in front, as a matrix with a column for each point
all_of <- function(coefs) {
  coefs <- as.matrix(coefs)
  list(coef = coefs[-1, , drop = FALSE], intercept = coefs[1, ])
}
without_intercept <- function(coefs) {
  coefs <- as.matrix(coefs)
  list(coef = coefs, intercept = numeric(ncol(coefs)))
}
family_of <- function() switch(o$family, quadratic = "gaussian", logistic = "binomial", o$family)
tools <- list(
  glmnet = function(tol) {
    glmnet.control(fdev = 0, devmax = 1)
    target <- switch(o$family, cox = survival::Surv(y[, 1], y[, 2]), multinomial = factor(y), y)
    family <- if (is.matrix(y) && o$family == "quadratic") "mgaussian" else family_of()
    fit <- suppressWarnings(glmnet(
      X, target, family = family, alpha = number("l1_ratio"), lambda = path, standardize = FALSE,
      thresh = tol, maxit = 1e8))
    function() {
      if (o$family == "cox") return(without_intercept(fit$beta))
      coefs <- coef(fit)
      if (!is.list(coefs)) return(all_of(coefs))
      parts <- lapply(coefs, all_of)
      coef <- sapply(parts, `[[`, "coef", simplify = "array")
      list(coef = aperm(coef, c(1, 3, 2)), intercept = t(sapply(parts, `[[`, "intercept")))
    }
  },
  ncvreg = function(tol) {
    fit <- ncvreg(X, y, family = family_of(), penalty = o$penalty, gamma = number("gamma"),
                  lambda = path, eps = tol, max.iter = 1e4, warn = FALSE, returnX = FALSE)
    function() all_of(coef(fit))
  },
  grpreg = function(tol) {
    fit <- grpreg(X, y, take("groups"), family = family_of(), penalty = o$penalty, lambda = path,
                  gamma = number("gamma"), group.multiplier = take("weights"), eps = tol,
                  max.iter = 1e4, warn = FALSE)
    function() all_of(coef(fit))
  },
  L0Learn = function(tol) {
    losses <- c(quadratic = "SquaredError", logistic = "Logistic")
    fit <- L0Learn.fit(
      X, y, loss = losses[[o$family]], penalty = "L0", algorithm = "CDPSI", rtol = tol,
      maxSuppSize = min(ncol(X), number("k") + 5), scaleDownFactor = 0.9)
    function() all_of(coef(fit))
  },
  survival = function(tol) {
    control <- coxph.control(eps = tol, iter.max = 100, timefix = FALSE)
    fit <- coxph(Surv(y[, 1], y[, 2]) ~ X, ties = o$ties, control = control)
    function() without_intercept(coef(fit))
  },
  quantreg = function(tol) {
    # its penalty rows count for a half
    strength <- 2 * length(y) * path[length(path)]
    fit <- rq.fit.lasso(cbind(1, X), y, tau = number("level"), eps = tol, lambda = strength)
    function() all_of(fit$coefficients)
  },
  MASS = function(tol) {
    control <- glm.control(epsilon = tol, maxit = 100)
    fit <- switch(o$family,
      ordinal = polr(factor(y, ordered = TRUE) ~ X, control = list(reltol = tol, maxit = 1000)),
      gamma = glm(y ~ X, family = Gamma("log"), control = control),
      negativebinomial = glm(y ~ X, family = negative.binomial(number("theta")),
                             control = control))
    function() if (o$family == "ordinal") without_intercept(coef(fit)) else all_of(coef(fit))
  })

found <- lapply(take("tol"), function(tol) timed(function() tools[[o$tool]](tol)))
values <- lapply(found, function(each) each$value())
# a path that ended early keeps its last point
widest <- max(sapply(values, function(value) NCOL(value$coef)))
values <- lapply(values, function(value) {
  if (!is.matrix(value$coef) || ncol(value$coef) == widest) return(value)
  at <- pmin(seq_len(widest), ncol(value$coef))
  list(coef = value$coef[, at, drop = FALSE], intercept = value$intercept[at])
})
give("coef", sapply(values, `[[`, "coef", simplify = "array"))
give("intercept", sapply(values, `[[`, "intercept", simplify = "array"))
give("seconds", sapply(found, `[[`, "seconds"))
