# Rscript polr_reference.R: proportional odds by MASS::polr, for test_ordinal.py
library(MASS)
library(jsonlite)
set.seed(1)
X <- matrix(round(rnorm(80 * 4), 3), 80, 4)
y <- findInterval(X[, 1] - 0.5 * X[, 2] + rlogis(80), c(-1, 0.5))
data <- data.frame(y = factor(y, ordered = TRUE), X)
fit <- polr(y ~ ., data = data, control = list(reltol = 1e-14, maxit = 1000))
result <- list(X = X, y = y, coef = unname(coef(fit)), thresholds = unname(fit$zeta),
               probabilities = unname(predict(fit, data[1:5, ], type = "probs")))
write(toJSON(result, digits = 10), "polr_reference.json")
